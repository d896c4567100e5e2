// The system's dialogs and browser. A path is only ever handed back to the shell.
import type { FileKind } from "../bindings";
import { invoke } from "./core";

/** Opens an address of the web (http, https) in the browser; the shell refuses all others. */
export const openExternal = (url: string): Promise<void> => invoke("open_external", { url });
/** Shows a file or folder in the file browser. */
export const showInFolder = (path: string): Promise<void> => invoke("show_in_folder", { path });
/** Asks for a folder; null if none was chosen. */
export const pickFolder = (title: string): Promise<string | null> => invoke("pick_folder", { title });
/** Asks for a file that exists. */
export const pickFile = (title: string, kinds: FileKind[] = []): Promise<string | null> =>
  invoke("pick_file", { title, kinds });
/** Asks where to write a file; `name` is the one offered. */
export const saveFile = (title: string, name: string, kinds: FileKind[] = []): Promise<string | null> =>
  invoke("save_file", { title, name, kinds });
