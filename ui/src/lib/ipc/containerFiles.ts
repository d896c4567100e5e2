// A container's files. Paths of this computer come from the shell's dialogs and go back to it.
import type { ContainerFolder } from "../bindings";
import { invoke } from "./core";

export const containerFiles = (id: string, path: string, after: string | null): Promise<ContainerFolder> =>
  invoke("container_files", { id, path, after });
/** One byte more than asked for when there are more. */
export const containerFile = (id: string, path: string, limitBytes: number): Promise<ArrayBuffer> =>
  invoke("container_file", { id, path, limitBytes });
/** A folder becomes a tar. */
export const containerFileSave = (id: string, path: string, folder: boolean, to: string): Promise<void> =>
  invoke("container_file_save", { id, path, folder, to });
export const containerFilesUpload = (id: string, folder: string, from: string[]): Promise<void> =>
  invoke("container_files_upload", { id, folder, from });
export const containerFileWrite = (id: string, path: string, text: string): Promise<void> =>
  invoke("container_file_write", { id, path, text });
