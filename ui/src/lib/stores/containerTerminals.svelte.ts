// The terminals in one container. They go on while other tabs are looked at, and end with the container's page.
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { WebglAddon } from "@xterm/addon-webgl";
import { Terminal, type ITheme } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { failure } from "../ipc";
import { terminalOpen, type TerminalStream } from "../ipc/containerTerminal";

export type SessionState =
  | { readonly kind: "opening" | "open" }
  | { readonly kind: "ended"; readonly exitCode: number | null }
  | { readonly kind: "failed"; readonly message: string };

/** A shell and the screen that it writes to. */
export class TerminalSession {
  state = $state.raw<SessionState>({ kind: "opening" });
  readonly search = new SearchAddon();
  readonly #fit = new FitAddon();
  readonly #terminal: Terminal;
  readonly #host = document.createElement("div");
  #stream: TerminalStream | undefined;

  constructor(
    private readonly container: string,
    /** Counts from 1 in its container. */
    readonly number: number,
    private readonly look: () => ITheme,
    font: string,
  ) {
    this.#terminal = new Terminal({
      fontFamily: font,
      fontSize: 13,
      lineHeight: 1.2,
      scrollback: 10_000,
      cursorBlink: true,
      screenReaderMode: false,
      allowProposedApi: true,
      theme: look(),
    });
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.loadAddon(this.search);
    this.#terminal.attachCustomKeyEventHandler((event) => this.#key(event));
    this.#terminal.onData((text) => void this.#stream?.write(text).catch(() => {}));
    this.#terminal.onResize(({ cols, rows }) => void this.#stream?.resize({ columns: cols, rows }).catch(() => {}));
  }

  /** Shows it in a place of the page, of which the size is its own. */
  attach(place: HTMLElement): void {
    place.append(this.#host);
    if (!this.#terminal.element) {
      this.#host.className = "terminal-host";
      this.#terminal.open(this.#host);
      this.#accelerate();
    }
    this.fit();
    if (!this.#stream) this.#open();
    this.focus();
  }

  detach(): void {
    this.#host.remove();
  }

  fit(): void {
    if (this.#host.clientHeight > 0) this.#fit.fit();
  }

  focus(): void {
    this.#terminal.focus();
  }

  recolour(): void {
    this.#terminal.options.theme = this.look();
  }

  /** Begins anew in the same place, after its end. */
  again(): void {
    this.#terminal.reset();
    this.#open();
    this.focus();
  }

  close(): void {
    this.#stream?.close();
    this.#terminal.dispose();
    this.#host.remove();
  }

  #open(): void {
    this.state = { kind: "opening" };
    const size = { columns: this.#terminal.cols, rows: this.#terminal.rows };
    const stream = terminalOpen(
      this.container,
      size,
      (bytes) => this.#terminal.write(bytes),
      (event) => {
        this.state = event.type === "open" ? { kind: "open" } : { kind: "ended", exitCode: event.exit_code };
      },
    );
    this.#stream = stream;
    stream.done.then(
      () => {
        if (this.#stream === stream && this.state.kind !== "ended") this.state = { kind: "ended", exitCode: null };
      },
      (reason: unknown) => {
        if (this.#stream === stream) this.state = { kind: "failed", message: failure(reason).message };
      },
    );
  }

  /** Drawn by the graphics card where there is one; else by the page. */
  #accelerate(): void {
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => webgl.dispose());
      this.#terminal.loadAddon(webgl);
    } catch (reason) {
      console.info("The terminal is drawn without WebGL:", reason);
    }
  }

  /** Ctrl-C and Ctrl-V are the shell's; with Shift they copy and paste, as in other terminals. */
  #key(event: KeyboardEvent): boolean {
    if (!event.ctrlKey || !event.shiftKey || event.type !== "keydown") return true;
    if (event.code === "KeyC") {
      event.preventDefault();
      const text = this.#terminal.getSelection();
      if (text) void navigator.clipboard.writeText(text);
      return false;
    }
    // The page's own paste reaches the terminal by its event.
    return event.code !== "KeyV";
  }
}

export class Terminals {
  all = $state.raw<readonly TerminalSession[]>([]);
  chosen = $state.raw<TerminalSession | undefined>();
  #next = 1;

  constructor(
    private readonly container: string,
    private readonly look: () => ITheme,
    private readonly font: () => string,
  ) {}

  add(): void {
    const session = new TerminalSession(this.container, this.#next++, this.look, this.font());
    this.all = [...this.all, session];
    this.chosen = session;
  }

  close(session: TerminalSession): void {
    const at = this.all.indexOf(session);
    session.close();
    this.all = this.all.filter((other) => other !== session);
    if (this.chosen === session) this.chosen = this.all[Math.min(at, this.all.length - 1)];
  }

  closeAll(): void {
    this.all.forEach((session) => session.close());
    this.all = [];
    this.chosen = undefined;
  }
}
