// Finding by a few letters, as a command palette does.

const separators = /[\s/:._\-–…]/;

/**
 * How well `text` answers `query`; nothing if it does not. Every word of the query must be found, its letters in order:
 * best at a word's beginning and one after the other.
 */
export function score(query: string, text: string): number | undefined {
  let sum = 0;
  for (const word of query.toLowerCase().split(/\s+/).filter(Boolean)) {
    const found = scoreWord(word, text.toLowerCase());
    if (found === undefined) return undefined;
    sum += found;
  }
  // Of two equally good ones the shorter says more.
  return sum - text.length / 1_000;
}

function scoreWord(word: string, text: string): number | undefined {
  const whole = text.indexOf(word);
  if (whole >= 0) return 10 * word.length + (begins(text, whole) ? 20 : 0) + (whole === 0 ? 5 : 0);
  // Scattered letters only of what is long enough to mean something, and not all over the text.
  if (word.length < 2) return undefined;
  let sum = 0;
  let before = -1;
  for (const letter of word) {
    const near = text.indexOf(letter, before + 1);
    if (near < 0) return undefined;
    const first = [...text.matchAll(/\S/g)].find(({ index, 0: found }) => found === letter && index > before && begins(text, index));
    const at = near === before + 1 ? near : (first?.index ?? near);
    if (at === before + 1) sum += 5;
    else if (begins(text, at)) sum += 4;
    else sum -= 1;
    before = at;
  }
  return sum > 0 ? sum : undefined;
}

const begins = (text: string, at: number): boolean => at === 0 || separators.test(text.charAt(at - 1));

/** The best of `all` for `query`, best first; all of them, as they are, for an empty query. */
export function best<T>(query: string, all: readonly T[], words: (item: T) => string, most: number): T[] {
  if (query.trim() === "") return all.slice(0, most);
  return all
    .flatMap((item, index) => {
      const points = score(query, words(item));
      return points === undefined ? [] : [{ item, points, index }];
    })
    .sort((a, b) => b.points - a.points || a.index - b.index)
    .slice(0, most)
    .map(({ item }) => item);
}
