// Who wants to know that something changed. Stores listen for themselves, so that the session names none of them.
import type { Subject } from "../bindings";

export interface Change {
  readonly subject: Subject;
  /** Docker's word for what happened. */
  readonly action: string;
  readonly id: string;
}

type Listener = (change: Change) => void;
const listeners = new Map<Subject, Set<Listener>>();
const connections = new Set<() => void>();
let isConnected = false;

/** Calls `listener` at each change of a thing of that kind. The answer ends it. */
export function onChange(subject: Subject, listener: Listener): () => void {
  const all = listeners.get(subject) ?? new Set();
  listeners.set(subject, all.add(listener));
  return () => void all.delete(listener);
}

/** As `onConnected`, and soon if that has been already: for stores that come with their screens. */
export function nowAndOnConnected(listener: () => void): () => void {
  if (isConnected) queueMicrotask(listener);
  return onConnected(listener);
}

/** Calls `listener` whenever coracled has been found, also again: everything known before may be stale. */
export function onConnected(listener: () => void): () => void {
  connections.add(listener);
  return () => void connections.delete(listener);
}

export function changed(change: Change): void {
  listeners.get(change.subject)?.forEach((listener) => listener(change));
}

export function connected(): void {
  isConnected = true;
  connections.forEach((listener) => listener());
}

export function disconnected(): void {
  isConnected = false;
}
