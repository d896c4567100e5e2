// Folders of this computer that containers may be given, and who has been given what of them. Pure.
import type { MountUse } from "../../lib/bindings";

export interface Folder {
  readonly path: string;
  readonly users: readonly MountUse[];
}

/** Whether `path` is `root` or lies beneath it. */
export function beneath(path: string, root: string): boolean {
  const end = root.replace(/[\\/]+$/, "");
  return path === end || path.startsWith(`${end}/`) || path.startsWith(`${end}\\`) || end === "";
}

/** Each approved folder with its users, and those who have something of none. */
export function sharing(
  approved: readonly string[],
  uses: readonly MountUse[],
): { folders: Folder[]; outside: MountUse[] } {
  const folders = uses.filter(({ volume }) => volume === null);
  return {
    folders: approved.map((path) => ({ path, users: folders.filter((use) => beneath(use.folder, path)) })),
    outside: folders.filter((use) => !approved.some((path) => beneath(use.folder, path))),
  };
}
