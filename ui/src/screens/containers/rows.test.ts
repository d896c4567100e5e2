import { cleanup, fireEvent, render, screen } from "@testing-library/svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import { parseStatus } from "../../lib/format/status";
import type { ContainerRow } from "../../lib/stores/containers.svelte";
import ContainerItem from "./ContainerItem.svelte";

const row = (id: string): ContainerRow => ({
  id,
  name: id,
  image: "i",
  command: "",
  state: "exited",
  status: "Exited (0) 1 second ago",
  created_unix_s: 1,
  ports: [],
  project: null,
  service: null,
  parsed: parseStatus("Exited (0) 1 second ago", 0),
});
const props = (container: ContainerRow): Parameters<typeof render>[1] => ({ container, grouped: false, picked: false, onpick: vi.fn() });

afterEach(cleanup);

describe("a container's row", () => {
  it("keeps focus and menu while it shows the same container, and neither for another", async () => {
    const { rerender } = render(ContainerItem, props(row("one")));
    await fireEvent.click(screen.getByTestId("container-menu"));
    const open = screen.getByTestId("container-open");
    open.focus();
    await rerender(props(row("one")));
    expect(document.activeElement).toBe(open);
    expect(screen.getByTestId("container-menu").getAttribute("aria-expanded")).toBe("true");
    await rerender(props(row("two")));
    expect(open.textContent).toBe("two");
    expect(document.activeElement).toBe(document.body);
    expect(screen.getByTestId("container-menu").getAttribute("aria-expanded")).toBeNull();
  });
});
