// Types that components share with what feeds them.
import type { Component } from "svelte";

/** How a state looks. */
export type Tone = "good" | "warn" | "bad" | "idle";

/** A line of a menu. */
export interface Item {
  readonly id: string;
  readonly text: string;
  readonly icon?: Component<{ size?: number; "aria-hidden"?: "true" }>;
  readonly danger?: boolean;
  readonly disabled?: boolean;
  readonly act: () => void;
}
