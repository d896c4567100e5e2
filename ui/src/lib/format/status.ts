// Docker's status text ("Up 3 minutes", "Exited (137) 2 hours ago") is a snapshot. Taken apart, it can be
// told in the reader's language and keep its age without asking again.

export type Health = "starting" | "healthy" | "unhealthy";

export interface Status {
  /** Only of one that has ended. */
  exitCode?: number;
  /** Only of a running one with a health check. */
  health?: Health;
  /** When its present state began, as near as the text tells. */
  sinceMs?: number;
}

const SECONDS: Record<string, number> = {
  second: 1,
  minute: 60,
  hour: 3_600,
  day: 86_400,
  week: 604_800,
  month: 2_592_000,
  year: 31_536_000,
};

export function parseStatus(text: string, nowMs: number): Status {
  const status: Status = {};
  const code = /^\w+ \((\d+)\)/.exec(text);
  if (code) status.exitCode = Number(code[1]);

  const health = /\((?:health: )?(starting|healthy|unhealthy)\)/.exec(text)?.[1];
  if (health) status.health = health as Health;

  if (/less than a second/i.test(text)) {
    status.sinceMs = nowMs;
    return status;
  }
  const age = /(\d+|an?) (second|minute|hour|day|week|month|year)s?\b/i.exec(text);
  if (age) {
    const count = /^an?$/i.test(age[1] ?? "") ? 1 : Number(age[1]);
    status.sinceMs = nowMs - count * (SECONDS[(age[2] ?? "").toLowerCase()] ?? 0) * 1000;
  }
  return status;
}
