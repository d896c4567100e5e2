// A command line taken apart as a shell does it, short of what only a running shell knows.

export interface Word {
  readonly text: string;
  /** What of it a shell would have replaced: `$PWD`, `$(pwd)`, `~`. */
  readonly expands: readonly string[];
}

export type WordsProblem =
  | { kind: "unclosed" }
  /** Something that separates or redirects commands. */
  | { kind: "operator"; text: string }
  /** Another command on a line of its own. */
  | { kind: "more"; text: string };

export type Words = { words: Word[] } | { problem: WordsProblem };

const ANSI: Record<string, string> = { n: "\n", t: "\t", r: "\r", "0": "\0", a: "\x07", b: "\b", e: "\x1b", f: "\f", v: "\v" };

class Reader {
  readonly words: Word[] = [];
  problem: WordsProblem | undefined;
  #at = 0;
  #text: string | undefined;
  #expands: string[] = [];

  constructor(private readonly line: string) {}

  read(): void {
    while (!this.problem && this.#at < this.line.length) this.#step();
    this.#end();
  }

  #step(): void {
    const { line } = this;
    const char = line.charAt(this.#at);
    // A line goes on in the next by a backslash; in PowerShell by a backtick, in cmd by a caret.
    const joined = /^[\\`^][ \t]*\r?\n[ \t]*/.exec(line.slice(this.#at, this.#at + 200));
    if (joined && (char !== "\\" || /^\\\r?\n/.test(joined[0]) || this.#text === undefined)) {
      // A backslash joins what stands around it, but nobody breaks a word in two: the indent is a space.
      if (/\n[ \t]+$/.test(joined[0])) this.#end();
      this.#at += joined[0].length;
    } else if (char === "\\") {
      this.#add(line.charAt(this.#at + 1));
      this.#at += 2;
    } else if (char === "'") this.#until("'");
    else if (char === '"') this.#double();
    else if (char === "$" && line.charAt(this.#at + 1) === "'") this.#ansi();
    else if (char === "$" || char === "`") this.#expansion();
    else if (char === "\n") this.#newline();
    else if (/\s/.test(char)) {
      this.#end();
      this.#at += 1;
    } else if (char === "#" && this.#text === undefined) this.#comment();
    else if (/[;&|<>()]/.test(char)) this.#operator();
    else {
      if (char === "~" && this.#text === undefined && /^~([/\s:]|$)/.test(line.slice(this.#at))) this.#expands.push("~");
      this.#add(char);
      this.#at += 1;
    }
  }

  #add(text: string): void {
    this.#text = (this.#text ?? "") + text;
  }

  #end(): void {
    if (this.#text !== undefined) this.words.push({ text: this.#text, expands: this.#expands });
    this.#text = undefined;
    this.#expands = [];
  }

  #until(quote: string): void {
    const end = this.line.indexOf(quote, this.#at + 1);
    if (end < 0) this.problem = { kind: "unclosed" };
    else {
      this.#add(this.line.slice(this.#at + 1, end));
      this.#at = end + 1;
    }
  }

  #double(): void {
    this.#add("");
    this.#at += 1;
    for (;;) {
      const char = this.line.charAt(this.#at);
      const next = this.line.charAt(this.#at + 1);
      if (char === "") {
        this.problem = { kind: "unclosed" };
        return;
      }
      if (char === '"') {
        this.#at += 1;
        return;
      }
      if (char === "\\" && next === "\n") this.#at += 2;
      else if (char === "\\" && /["\\$`]/.test(next)) {
        this.#add(next);
        this.#at += 2;
      } else if (char === "$" || char === "`") {
        this.#expansion();
        if (this.problem) return;
      } else {
        this.#add(char);
        this.#at += 1;
      }
    }
  }

  /** `$'…'`, in which a backslash writes a control character. */
  #ansi(): void {
    const match = /^\$'((?:[^'\\]|\\[\s\S])*)'/.exec(this.line.slice(this.#at));
    if (!match) {
      this.problem = { kind: "unclosed" };
      return;
    }
    this.#add(
      (match[1] ?? "").replace(/\\(?:x([0-9a-fA-F]{1,2})|([\s\S]))/g, (_, hex?: string, char = "") =>
        hex ? String.fromCharCode(parseInt(hex, 16)) : (ANSI[char] ?? char),
      ),
    );
    this.#at += match[0].length;
  }

  /** Kept as it stands: only the shell knows what it is. */
  #expansion(): void {
    const rest = this.line.slice(this.#at);
    const name = /^\$(?:\w+|\{[^}]*\}|[?!@*#$-])/.exec(rest)?.[0];
    if (name || rest.startsWith("$(") || rest.startsWith("`")) {
      const text = name ?? (rest.startsWith("`") ? /^`[^`]*`/.exec(rest)?.[0] : parenthesised(rest));
      if (text === undefined) {
        this.problem = { kind: "unclosed" };
        return;
      }
      this.#expands.push(text);
      this.#add(text);
      this.#at += text.length;
    } else {
      this.#add("$");
      this.#at += 1;
    }
  }

  #comment(): void {
    const end = this.line.indexOf("\n", this.#at);
    this.#at = end < 0 ? this.line.length : end;
  }

  #operator(): void {
    const text = /^(?:&&|\|\||>>|<<|[;&|<>()])/.exec(this.line.slice(this.#at))?.[0] ?? "";
    this.#end();
    // One at the very end separates from nothing.
    if ((text === ";" || text === "&") && this.line.slice(this.#at + 1).trim() === "") this.#at = this.line.length;
    else this.problem = { kind: "operator", text };
  }

  /** Ends the command. */
  #newline(): void {
    this.#end();
    const rest = this.line.slice(this.#at).split("\n").map((text) => text.trim());
    const more = rest.find((text) => text !== "" && !text.startsWith("#"));
    if (this.words.length === 0 || more === undefined) this.#at += 1;
    else this.problem = { kind: "more", text: more };
  }
}

function parenthesised(text: string): string | undefined {
  let depth = 0;
  for (let at = 1; at < text.length; at += 1) {
    if (text.charAt(at) === "(") depth += 1;
    else if (text.charAt(at) === ")") depth -= 1;
    if (depth === 0) return text.slice(0, at + 1);
  }
  return undefined;
}

export function shellWords(line: string): Words {
  const reader = new Reader(line);
  reader.read();
  return reader.problem ? { problem: reader.problem } : { words: reader.words };
}

/** A word as a shell takes it apart again. */
export function quoted(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return `'${word.replaceAll("'", "'\\''")}'`;
}

export const joinWords = (words: readonly string[]): string => words.map(quoted).join(" ");
