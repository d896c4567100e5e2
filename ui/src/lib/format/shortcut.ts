// Shortcuts: told from keys, and written as the system writes them.

const MODIFIERS = ["Mod", "Alt", "Shift"];

export const isMac = (platform: string = navigator.platform): boolean => platform.startsWith("Mac");

/** Whether the key that was pressed is this shortcut. A plain key is none while something is typed. */
export function matches(shortcut: string, event: KeyboardEvent, mac: boolean = isMac()): boolean {
  const parts = shortcut.split("+");
  const key = parts.at(-1) ?? "";
  const mod = parts.includes("Mod");
  const alt = parts.includes("Alt");
  if (event.key.toLowerCase() !== key.toLowerCase()) return false;
  if (mod !== (mac ? event.metaKey : event.ctrlKey) || alt !== event.altKey) return false;
  if (mac ? event.ctrlKey : event.metaKey) return false;
  if (mod || alt) return parts.includes("Shift") === event.shiftKey;
  return !isTyping(event.target);
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
  );
}

const NAMES: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
const MAC_NAMES: Record<string, string> = { Mod: "⌘", Alt: "⌥", Shift: "⇧" };

/** Its keys, one by one, as they are drawn. */
export function keys(shortcut: string, mac: boolean = isMac()): string[] {
  return shortcut.split("+").map((part) => {
    if (MODIFIERS.includes(part)) return mac ? (MAC_NAMES[part] ?? part) : part === "Mod" ? "Ctrl" : part;
    return NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part);
  });
}
