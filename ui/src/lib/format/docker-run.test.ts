import { describe, expect, it } from "vitest";
import type { RunRequest } from "../bindings";
import { addOptions, parseLine, runOf, writeLine, writeOptions, writeParts } from "./docker-run";
import { flagNames, longFlag } from "./docker-run-flags";
import { writePort } from "./docker-run-values";

const parsed = (line: string): RunRequest => {
  const { request, problems } = parseLine(line);
  expect(problems, line).toEqual([]);
  return request;
};
const problems = (line: string): string[] => parseLine(line).problems.map(({ key, values }) => `${key} ${Object.values(values).join(" ")}`.trim());
const notes = (line: string): string[] => parseLine(line).notes.map(({ key, values }) => `${key} ${Object.values(values).join(" ")}`.trim());

describe("a docker run line", () => {
  it("fills the form", () => {
    const request = parsed(
      "docker run -itd --rm --name web -p 8080:80 -p 127.0.0.1:53:53/udp -e A=1 --env=B='x y' " +
        "-v /srv/www:/usr/share/nginx/html:ro -v data:/data --network backend -m 512m --cpus=1.5 " +
        "--restart on-failure:3 --runtime vm --entrypoint /bin/sh nginx:alpine -c 'echo $HOME; sleep 1'",
    );
    expect(request).toEqual({
      ...runOf("nginx:alpine"),
      name: "web",
      command: ["-c", "echo $HOME; sleep 1"],
      entrypoint: "/bin/sh",
      ports: [
        { host: "8080", container: "80", protocol: "tcp" },
        { host: "127.0.0.1:53", container: "53", protocol: "udp" },
      ],
      environment: ["A=1", "B=x y"],
      mounts: [
        { source: "/srv/www", target: "/usr/share/nginx/html", read_only: true },
        { source: "data", target: "/data", read_only: false },
      ],
      network: "backend",
      memory_bytes: 512 * 1024 ** 2,
      cpus: 1.5,
      restart: "on-failure:3",
      tty: true,
      interactive: true,
      remove_on_exit: true,
      runtime: "vm",
    });
  });

  it("may stand behind sudo, a prompt, variables and docker's own options", () => {
    for (const head of [
      "docker run",
      "  $ docker run",
      "# docker run".slice(2),
      "sudo docker run",
      "sudo -E -u root docker run",
      "DOCKER_BUILDKIT=1 sudo FOO=1 /usr/bin/docker container run",
      "docker --context remote -H tcp://a:1 --debug run",
      "podman run",
      "docker.exe run",
    ]) {
      expect(parsed(`${head} -t alpine`), head).toEqual({ ...runOf("alpine"), tty: true });
    }
    for (const line of ["docker ps", "docker compose run web", "nginx", "", "docker", "docker create x"]) {
      expect(problems(line), line).toEqual(["run.paste.notRun"]);
    }
  });

  it("takes letters together and values in every form", () => {
    const port = [{ host: "80", container: "80", protocol: "tcp" }];
    for (const options of ["-p80:80", "-p=80:80", "-p 80:80", "-dp 80:80", "-dp80:80", "--publish=80:80", "--publish 80:80"]) {
      expect(parsed(`docker run ${options} x`).ports, options).toEqual(port);
    }
    expect(parsed("docker run -it=false x")).toEqual({ ...runOf("x"), interactive: true });
    expect(parsed("docker run --rm=false --tty=1 x")).toEqual({ ...runOf("x"), tty: true });
    expect(parsed("docker run -eA=b=c x").environment).toEqual(["A=b=c"]);
    expect(problems("docker run --rm=maybe x")).toEqual(["run.paste.badValue --rm maybe"]);
  });

  it("ends its options at the image or at --", () => {
    expect(parsed("docker run x -t --name y").command).toEqual(["-t", "--name", "y"]);
    expect(parsed("docker run -t -- x -i")).toEqual({ ...runOf("x"), tty: true, command: ["-i"] });
  });

  it("goes on in the next line", () => {
    const wanted = { ...runOf("x"), name: "a", tty: true };
    for (const line of [
      "docker run \\\n  --name a \\\n  -t \\\n  x",
      "docker run \\\r\n --name a \\\r\n -t x\r\n",
      "docker run `\n --name a `\n -t x",
      "docker run ^\r\n --name a ^\r\n -t x",
      "# first\ndocker run --name a -t x # and last\n\n# end\n",
    ]) {
      expect(parsed(line), line).toEqual(wanted);
    }
    expect(problems("docker run x\ndocker run y")).toEqual(["run.paste.more docker run y"]);
    expect(problems("docker run -t\n  --name a x")).toEqual(["run.paste.more --name a x"]);
  });

  it("is unquoted as a shell does it", () => {
    expect(parsed(`docker run x a\\ b 'c d' "e \\"f\\" \\n" g'h'"i" '' $'j\\tk' 'it'\\''s' \\#`).command).toEqual([
      "a b", "c d", 'e "f" \\n', "ghi", "", "j\tk", "it's", "#",
    ]);
    expect(problems("docker run x 'a")).toEqual(["run.paste.unclosed"]);
    expect(problems('docker run x "a')).toEqual(["run.paste.unclosed"]);
    expect(problems("docker run x $(a")).toEqual(["run.paste.unclosed"]);
  });

  it("is one command", () => {
    for (const [line, operator] of [
      ["docker run x && echo y", "&&"],
      ["docker run x | cat", "|"],
      ["docker run x > file", ">"],
      ["docker run x; docker ps", ";"],
      ["(docker run x)", "("],
    ]) {
      expect(problems(line ?? ""), line).toEqual([`run.paste.operator ${operator}`]);
    }
    expect(parsed("docker run x;")).toEqual(runOf("x"));
    expect(parsed("docker run x 'a && b' \\;").command).toEqual(["a && b", ";"]);
  });

  it("says what only a terminal knows", () => {
    expect(notes('docker run -v "$(pwd)/a b":/x -v ~/y:/y -w $PWD x `id -u` \'$no\' \\$no $')).toEqual([
      "run.paste.expands $(pwd)",
      "run.paste.expands ~",
      "run.paste.expands $PWD",
      "run.paste.expands `id -u`",
    ]);
    expect(parsed('docker run -v "$(pwd)/a b":/x x').mounts[0]?.source).toBe("$(pwd)/a b");
    expect(notes("docker run -v ./a:/x -e TOKEN x")).toEqual(["run.paste.relative ./a", "run.paste.envValue TOKEN"]);
    expect(notes("docker run -d -a stdout --sig-proxy=false --cidfile f --pull always x")).toEqual([
      "run.paste.leftOut --cidfile",
      "run.paste.leftOut --pull",
    ]);
  });

  it("keeps what has no field, and names what cannot be", () => {
    const request = parsed(
      "docker run --cap-add NET_ADMIN --init --ulimit nofile=1:2 -u 1000 --user 2000 -w /a -v /anonymous " +
        "-v data:/b:nocopy --mount type=tmpfs,target=/t --net a --net b --network-alias c -P x",
    );
    expect(request.network).toBe("a");
    expect(request.further.map(({ flag, value }) => `${flag} ${value}`)).toEqual([
      "--cap-add NET_ADMIN",
      "--init true",
      "--ulimit nofile=1:2",
      "--user 2000",
      "--workdir /a",
      "--volume /anonymous",
      "--volume data:/b:nocopy",
      "--mount type=tmpfs,target=/t",
      "--network b",
      "--network-alias c",
      "--publish-all true",
    ]);
    for (const [line, problem] of [
      ["docker run --cap-ad X x", "run.paste.unknown --cap-ad"],
      ["docker run -itz x", "run.paste.unknown -z"],
      ["docker run --gpus all x", "run.paste.refused --gpus"],
      ["docker run --name", "run.paste.noValue --name"],
      ["docker run -t", "run.paste.noImage"],
      ["docker run -m lots x", "run.paste.badValue -m lots"],
      ["docker run --cpus=two x", "run.paste.badValue --cpus two"],
      ["docker run --restart sometimes x", "run.paste.badValue --restart sometimes"],
      ["docker run -e =1 x", "run.paste.badValue -e =1"],
    ]) {
      expect(problems(line ?? ""), line).toContain(problem);
    }
  });

  it("reads ports, mounts and sizes as docker does", () => {
    const port = (text: string): string => {
      const [found] = parsed(`docker run -p ${text} x`).ports;
      return found ? `${found.host}|${found.container}|${found.protocol}` : "";
    };
    expect(port("80")).toBe("|80|tcp");
    expect(port("[::1]:8080:80/tcp")).toBe("[::1]:8080|80|tcp");
    expect(port("127.0.0.1::80")).toBe("127.0.0.1:|80|tcp");
    expect(port("8000-8010:8000-8010/udp")).toBe("8000-8010|8000-8010|udp");
    expect(port("published=8080,target=80,protocol=udp")).toBe("8080|80|udp");
    const mounts = (options: string): RunRequest["mounts"] => parsed(`docker run ${options} x`).mounts;
    expect(mounts("--mount type=bind,src=/a,dst=/b,readonly")).toEqual([{ source: "/a", target: "/b", read_only: true }]);
    expect(mounts("--mount source=v,target=/b")).toEqual([{ source: "v", target: "/b", read_only: false }]);
    expect(mounts("--mount type=bind,source=v,target=/b")).toEqual([]);
    expect(mounts(`--mount 'type=bind,"source=/a,b",target=/c'`)).toEqual([{ source: "/a,b", target: "/c", read_only: false }]);
    expect(mounts("-v 'C:\\x:/y:ro'")).toEqual([{ source: "C:\\x", target: "/y", read_only: true }]);
    for (const [text, bytes] of [["1", 1], ["1k", 1024], ["1.5g", 1536 * 1024 ** 2], ["2GiB", 2 * 1024 ** 3], ["64MB", 64 * 1024 ** 2]] as const) {
      expect(parsed(`docker run -m ${text} x`).memory_bytes, text).toBe(bytes);
    }
    expect(parsed("docker run -m 0 --cpus 0 --runtime runc --restart no x")).toEqual(runOf("x"));
  });
});

describe("the table of options", () => {
  it("has every option once", () => {
    expect(new Set(flagNames()).size).toBe(flagNames().length);
    expect(flagNames().length).toBeGreaterThan(95);
    expect(longFlag("net-alias")?.name).toBe("network-alias");
  });
});

describe("further options", () => {
  it("are added, and those with a field go there", () => {
    const before = { ...runOf("x"), name: "a", further: [{ flag: "--init", value: "true" }] };
    const { request, problems } = addOptions(before, "--cap-add ALL --name b -e A=1 --label 'a b=c'");
    expect(problems).toEqual([]);
    expect(request.name).toBe("b");
    expect(request.environment).toEqual(["A=1"]);
    expect(writeOptions(request.further)).toBe("--cap-add ALL --label 'a b=c'");
    expect(before.environment).toEqual([]);
    expect(addOptions(before, "--init alpine").problems[0]?.key).toBe("run.further.noOption");
  });
});

/** Numbers that are the same at each run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
}

function generated(seed: number): RunRequest {
  const next = random(seed);
  const one = <T>(all: readonly T[]): T => all[next(all.length)] as T;
  const maybe = <T>(make: () => T): T | null => (next(2) === 0 ? null : make());
  const many = <T>(make: () => T): T[] => Array.from({ length: next(4) }, make);
  const text = (): string => {
    const pieces = ["a", "B9", " ", "'", '"', "\\", "$HOME", "`x`", "\n", "\t", ";", "&", "#", "~", "=", "é漢", "-", "--x", "*", "!", ",", "(", "%"];
    return Array.from({ length: 1 + next(6) }, () => one(pieces)).join("");
  };
  const path = (): string => `/${text().replaceAll(":", "")}`;
  const flags = flagNames().map(longFlag).filter((flag) => flag?.role === "further" && !["network", "mount", "volume"].includes(flag.name));
  const further: RunRequest["further"] = [];
  for (let count = next(4); count > 0; count -= 1) {
    const flag = one(flags);
    if (!flag) continue;
    const option = { flag: `--${flag.name}`, value: flag.kind === "switch" ? one(["true", "false"]) : text() };
    if (flag.kind === "list" || !further.some((other) => other.flag === option.flag)) further.push(option);
  }
  return {
    image: one(["nginx", "localhost:5000/a/b:1", "a@sha256:00", "x y'z"]),
    name: maybe(text),
    command: many(text),
    entrypoint: maybe(() => one(["", text()])),
    ports: many(() => ({
      host: one(["", "80", "127.0.0.1:80", "[::1]:", "1-9"]),
      container: one(["80", "1-9"]),
      protocol: one(["tcp", "udp"]),
    })),
    environment: many(() => `A${next(9)}=${text()}`),
    mounts: many(() => ({ source: one(["data", path(), `${path()}:x`]), target: path(), read_only: next(2) === 0 })),
    network: maybe(() => one(["backend", "host", "container:x"])),
    memory_bytes: maybe(() => 1 + next(2 ** 31)),
    cpus: maybe(() => (1 + next(800)) / 100),
    restart: one(["no", "always", "on-failure", "on-failure:3"]),
    tty: next(2) === 0,
    interactive: next(2) === 0,
    remove_on_exit: next(2) === 0,
    runtime: maybe(() => one(["vm", "other"])),
    further,
  };
}

describe("writing and reading", () => {
  it("are each other's inverse", () => {
    for (let seed = 1; seed <= 3000; seed += 1) {
      const request = generated(seed);
      const line = writeLine(request);
      const back = parseLine(line);
      expect(back.problems, line).toEqual([]);
      expect(back.notes, line).toEqual([]);
      expect(back.request, line).toEqual(request);
      expect(parseLine(writeParts(request).join(" \\\n  ")).request, line).toEqual(request);
    }
  });

  it("makes lines that people would write", () => {
    const request: RunRequest = {
      ...runOf("nginx:alpine"),
      name: "web",
      ports: [{ host: "8080", container: "80", protocol: "tcp" }],
      environment: ["GREETING=it's me"],
      mounts: [{ source: "/home/me/site", target: "/usr/share/nginx/html", read_only: true }],
      memory_bytes: 512 * 1024 ** 2,
    };
    expect(writeLine(request)).toBe(
      "docker run -d --name web -p 8080:80 -e 'GREETING=it'\\''s me' -v /home/me/site:/usr/share/nginx/html:ro --memory 512m nginx:alpine",
    );
    expect(writePort({ host: "", container: "53", protocol: "udp" })).toBe("53/udp");
  });
});
