import type { JoinRequest, Network, NetworkRequest, NetworkUse } from "../bindings";
import { invoke } from "./core";

export const networksList = (): Promise<Network[]> => invoke("networks_list");
/** All places of containers on networks. */
export const networkUses = (): Promise<NetworkUse[]> => invoke("network_uses");
/** The id of the new network. */
export const networkCreate = (request: NetworkRequest): Promise<string> => invoke("network_create", { request });
export const networkRemove = (id: string): Promise<void> => invoke("network_remove", { id });
export const networkConnect = (request: JoinRequest): Promise<void> => invoke("network_connect", { request });
export const networkDisconnect = (id: string, containerId: string): Promise<void> =>
  invoke("network_disconnect", { id, containerId });
