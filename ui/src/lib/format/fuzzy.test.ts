import { describe, expect, it } from "vitest";
import { best, score } from "./fuzzy";

const all = ["Containers", "Images", "Settings", "Stop web", "Start web-database", "Restart the virtual machine", "docker.io/library/nginx:latest", "停止虚拟机"];
const find = (query: string): string[] => best(query, all, (text) => text, 10);

describe("finding by a few letters", () => {
  it("puts a word's beginning first, and the shorter of equals", () => {
    expect(find("st")[0]).toBe("Stop web");
    expect(find("web")).toEqual(["Stop web", "Start web-database"]);
    expect(find("ngi")).toEqual(["docker.io/library/nginx:latest"]);
  });

  it("takes initials and several words in any order", () => {
    expect(find("rvm")).toEqual(["Restart the virtual machine"]);
    expect(find("web stop")).toEqual(["Stop web"]);
    expect(find("machine restart")).toEqual(["Restart the virtual machine"]);
    expect(find("虚拟")).toEqual(["停止虚拟机"]);
  });

  it("finds nothing rather than anything", () => {
    expect(score("zz", "Containers")).toBeUndefined();
    expect(score("x", "Containers")).toBeUndefined();
    expect(find("web images")).toEqual([]);
  });

  it("keeps the order when nothing is asked", () => {
    expect(best(" ", all, (text) => text, 3)).toEqual(all.slice(0, 3));
  });
});
