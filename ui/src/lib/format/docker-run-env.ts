// A .env file as compose reads it.

export interface Variable {
  readonly name: string;
  readonly value: string;
}

export interface EnvFile {
  readonly variables: readonly Variable[];
  /** Numbers of the lines, from 1, that say nothing of the kind. */
  readonly wrong: readonly number[];
}

const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

export function readEnv(text: string): EnvFile {
  const variables: Variable[] = [];
  const wrong: number[] = [];
  const source = text.replace(/^\ufeff/, "").replaceAll("\r\n", "\n");
  // Blank, a comment, or a name with a value: in quotation marks, over several lines if need be, or up to a comment.
  const entry =
    /[ \t]*(?:(?:#[^\n]*)?(?=\n|$)|(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\[\s\S])*)"|'([^']*)'|((?:(?![ \t]#)[^\n])*))[ \t]*(?:#[^\n]*)?(?=\n|$))/y;
  let line = 1;
  for (let at = 0; at <= source.length; ) {
    entry.lastIndex = at;
    const match = entry.exec(source);
    const end = match ? entry.lastIndex : (source.indexOf("\n", at) + 1 || source.length + 1) - 1;
    const [, name, double, single, bare] = match ?? [];
    if (!match) wrong.push(line);
    else if (name !== undefined) {
      const escaped = double?.replace(/\\([\s\S])/g, (_, char: string) => ESCAPES[char] ?? char);
      variables.push({ name, value: escaped ?? single ?? bare?.trim() ?? "" });
    }
    line += source.slice(at, end + 1).split("\n").length - 1;
    at = end + 1;
  }
  return { variables, wrong };
}
