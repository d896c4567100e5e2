import type { Image, PullProgress } from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const imagesList = (): Promise<Image[]> => invoke("images_list");
export const imagePull = (reference: string, receive: (progress: PullProgress) => void): Stream =>
  stream("image_pull", { reference }, receive);
export const imageRemove = (reference: string, force: boolean): Promise<void> =>
  invoke("image_remove", { reference, force });
