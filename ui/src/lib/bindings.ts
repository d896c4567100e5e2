// Generated from src-tauri/src/model by its test; see there.

export type Code = "unreachable" | "not_found" | "conflict" | "other";

export type Container = { id: string, name: string, image: string, command: string,
/**
 * Docker's state word: `created`, `running`, `exited`, ...
 */
state: string,
/**
 * Docker's status text, such as `Exited (0) 5 seconds ago`.
 */
status: string, created_unix_s: number, };

export type Failure = { code: Code, message: string, };

export type FileKind = {
/**
 * In words.
 */
name: string,
/**
 * Without the dot.
 */
extensions: Array<string>, };

export type Image = { id: string,
/**
 * Its names; none for one that lost its last.
 */
references: Array<string>, size_bytes: number, created_unix_s: number, };

export type LogEvent = { "type": "output",
/**
 * Pieces that need not end at a line's end.
 */
pieces: Array<LogPiece>, } | { "type": "end" };

export type LogPiece = {
/**
 * Whether it was written to standard error.
 */
error: boolean, text: string, };

export type PullProgress = { steps: Array<PullStep>, };

export type PullStep = {
/**
 * The layer's short id; empty for what concerns the whole image.
 */
layer: string, status: string, current_bytes: number | null, total_bytes: number | null, };

export type RunRequest = { image: string, name: string | null, command: Array<string>, remove_on_exit: boolean, };

export type Subject = "container" | "image" | "volume" | "network";

export type Vm = { "state": "off" } | { "state": "booting", stage: string, since_unix_ms: number | null, } | { "state": "running", boot_ms: number | null, accelerator: string, transport: string, } | { "state": "stopping" } | { "state": "failed", reason: string, console_tail: Array<string>, } | { "state": "unknown" };

export type WatchEvent = { "type": "connecting" } | { "type": "connected" } | { "type": "unreachable",
/**
 * Why.
 */
message: string, } | { "type": "vm",
/**
 * Its state.
 */
vm: Vm, } | { "type": "changed",
/**
 * What kind of thing.
 */
subject: Subject,
/**
 * Docker's word for what happened to it.
 */
action: string,
/**
 * Which one.
 */
id: string, };
