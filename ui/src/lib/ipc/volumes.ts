import type { CopiedBytes, MountUse, Volume, VolumePage, VolumeRequest, VolumeSize } from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const volumesList = (): Promise<Volume[]> => invoke("volumes_list");
export const volumeSizes = (): Promise<VolumeSize[]> => invoke("volume_sizes");
/** All that containers mount. */
export const mountsList = (): Promise<MountUse[]> => invoke("mounts_list");
/** The name of the new volume. */
export const volumeCreate = (request: VolumeRequest): Promise<string> => invoke("volume_create", { request });
export const volumeRemove = (name: string): Promise<void> => invoke("volume_remove", { name });
export const volumeFiles = (name: string, path: string, after: string | null): Promise<VolumePage> =>
  invoke("volume_files", { name, path, after });
/** The beginning of a file, one byte more than the limit if there are more. */
export const volumeFile = (name: string, path: string, limitBytes: number): Promise<ArrayBuffer> =>
  invoke("volume_file", { name, path, limitBytes });
/** Writes a file, or a folder as a tar. */
export const volumeFileSave = (name: string, path: string, folder: boolean, to: string): Promise<void> =>
  invoke("volume_file_save", { name, path, folder, to });
export const volumeUpload = (name: string, folder: string, from: string[]): Promise<void> =>
  invoke("volume_upload", { name, folder, from });
/** Writes all of it to a tar; closing the stream cancels it. */
export const volumeBackup = (name: string, to: string, receive: (copied: CopiedBytes) => void): Stream =>
  stream("volume_backup", { name, to }, receive);
/** Unpacks a tar into it. */
export const volumeRestore = (name: string, from: string, receive: (copied: CopiedBytes) => void): Stream =>
  stream("volume_restore", { name, from }, receive);
