import type { FileKind } from "../bindings";
import type { Event, Report } from "../lab-bindings";
import { invoke, stream, type Stream } from "./core";

/** Measures anew; without an image, the bundled one. Closing the stream ends it. */
export const labRun = (
  image: string | null,
  rounds: number | null,
  receive: (event: Event) => void,
): Stream => stream("lab_run", { image, rounds }, receive);
/** The last report. */
export const labReport = (): Promise<Report | null> => invoke("lab_report");
/** Asks where to write; null if no place was chosen. */
export const labSave = (title: string, name: string, kind: FileKind, bytes: Uint8Array): Promise<string | null> =>
  invoke("lab_save", { title, name, kind, bytes: [...bytes] });
