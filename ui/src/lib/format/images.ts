// The images list as rows: a row per name, sorted and searched. Pure, so that tables can test it.
import type { Image } from "../bindings";
import { shortId } from "./text";

export interface ImageRow {
  readonly key: string;
  /** What coracled knows it by. */
  readonly reference: string;
  /** None for an image that lost its last name. */
  readonly name: string | undefined;
  readonly tag: string;
  readonly image: Image;
}

/** A reference's name and its tag; a registry's port is none. */
export function parted(reference: string): { name: string; tag: string } {
  const colon = reference.lastIndexOf(":");
  if (colon <= reference.lastIndexOf("/")) return { name: reference, tag: "" };
  return { name: reference.slice(0, colon), tag: reference.slice(colon + 1) };
}

/** A row per name, by name. */
export function rows(list: readonly Image[]): ImageRow[] {
  const all = list.flatMap((image): ImageRow[] => {
    if (image.references.length === 0) {
      return [{ key: image.id, reference: image.id, name: undefined, tag: shortId(image.id), image }];
    }
    return image.references.map((reference) => ({
      key: `${image.id} ${reference}`,
      reference,
      ...parted(reference),
      image,
    }));
  });
  return sorted(all, { by: "name", falling: false });
}

export const COLUMNS = ["name", "size", "shared", "users", "created"] as const;
export type Column = (typeof COLUMNS)[number];
export interface Order {
  readonly by: Column;
  readonly falling: boolean;
}

const byText = (a: ImageRow, b: ImageRow): number =>
  (a.name ?? "").localeCompare(b.name ?? "") || a.tag.localeCompare(b.tag, undefined, { numeric: true });

const amounts: Record<Exclude<Column, "name">, (row: ImageRow) => number> = {
  size: ({ image }) => image.size_bytes,
  shared: ({ image }) => image.shared_bytes ?? -1,
  users: ({ image }) => image.users.length,
  created: ({ image }) => image.created_unix_s,
};

export function sorted(all: readonly ImageRow[], { by, falling }: Order): ImageRow[] {
  const direction = falling ? -1 : 1;
  // Nameless ones last in either direction: they are seldom wanted.
  const nameless = (row: ImageRow): number => (row.name === undefined ? 1 : 0);
  const compare =
    by === "name"
      ? (a: ImageRow, b: ImageRow) => nameless(a) - nameless(b) || direction * byText(a, b)
      : (a: ImageRow, b: ImageRow) => direction * (amounts[by](a) - amounts[by](b)) || byText(a, b);
  return [...all].sort(compare);
}

/** A column that is chosen again turns round; what is counted begins with the most. */
export const nextOrder = (order: Order, by: Column): Order =>
  order.by === by ? { by, falling: !order.falling } : { by, falling: by !== "name" };

/** Rows that hold every word, in name, id, platform, or the name of a container. */
export function matching(all: readonly ImageRow[], query: string): readonly ImageRow[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return all;
  return all.filter(({ reference, image }) => {
    const text = [reference, image.id, image.platform ?? "", ...image.users.map(({ name }) => name)].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export type Removal =
  /** Other names stay, and with them the image. */
  | { kind: "untag"; others: number }
  /** Containers were made from it: its name goes by force alone, and its files stay as long as they do. */
  | { kind: "force"; users: string[] }
  /** It has no name, and a container of it runs: nothing removes it. */
  | { kind: "never"; users: string[] }
  | { kind: "delete"; freedBytes: number | undefined };

/** What taking this row away means, as Docker's rules have it. */
export function removal({ image }: ImageRow): Removal {
  if (image.references.length > 1) return { kind: "untag", others: image.references.length - 1 };
  const users = image.users.map(({ name }) => name);
  if (image.references.length === 0 && image.users.some(({ running }) => running)) return { kind: "never", users };
  if (users.length > 0) return { kind: "force", users };
  const freedBytes = image.shared_bytes === null ? undefined : image.size_bytes - image.shared_bytes;
  return { kind: "delete", freedBytes };
}

/** A file name for an archive of it. */
export const archiveName = ({ name, tag }: Pick<ImageRow, "name" | "tag">): string =>
  `${[name?.split("/").at(-1), tag].filter(Boolean).join("-").replace(/[^\w.-]+/g, "-") || "image"}.tar`;
