// What the command palette offers at this moment.
import { t } from "../lib/i18n/index.svelte";
import { actions } from "../lib/stores/actions.svelte";
import { containers, isUp } from "../lib/stores/containers.svelte";
import { images } from "../lib/stores/images.svelte";
import { session } from "../lib/stores/session.svelte";
import { SECTIONS, view } from "../lib/stores/view.svelte";
import RunDialog from "../screens/run/RunDialog.svelte";
import { GROUPS } from "../screens/settings/groups";

export type Kind = "section" | "container" | "image" | "setting" | "action";

export interface Entry {
  readonly id: string;
  readonly kind: Kind;
  readonly title: string;
  /** What it is found by. */
  readonly words: string;
  readonly shortcut?: string | undefined;
  readonly run: () => void;
}

const entry = (kind: Kind, id: string, title: string, run: () => void, more = "", shortcut?: string): Entry => ({
  id: `${kind} ${id}`,
  kind,
  title,
  words: `${title} ${more}`,
  shortcut,
  run,
});

/** Sections first, then what can be done, then things. */
export function entries(): Entry[] {
  const sections = SECTIONS.map((section, index) =>
    entry("section", section, t(`nav.${section}`), () => view.go(section), section, `Mod+${index + 1}`),
  );
  const registered = actions.all
    .filter(({ unlisted }) => !unlisted)
    .map(({ id, title, keywords, shortcut, run }) => entry("action", id, title(), run, keywords, shortcut));
  const settings = GROUPS.flatMap(({ id, entries: keys }) =>
    keys.map((key) => entry("setting", key, t(key), () => view.go("settings", undefined, id))),
  );
  // Nothing can be done to things while coracled is gone.
  const things = session.link.state === "unreachable" ? [] : [...ofContainers(), ...ofImages()];
  return [...sections, ...registered, ...things, ...settings];
}

function ofContainers(): Entry[] {
  return containers.all.flatMap((container) => {
    const { id, name, image } = container;
    const act = (action: "start" | "stop" | "restart"): Entry =>
      entry("container", `${id} ${action}`, t(`palette.container.${action}`, { name }), () => {
        void containers.act(container, action);
      });
    return [
      entry("container", id, name, () => view.go("containers", id), image),
      entry("container", `${id} logs`, t("palette.container.logs", { name }), () => view.go("containers", id, "logs")),
      ...(isUp(container) ? [act("stop"), act("restart")] : [act("start")]),
    ];
  });
}

function ofImages(): Entry[] {
  return images.all.flatMap((row) => {
    if (row.name === undefined) return [];
    const { key, reference } = row;
    return [
      entry("image", key, reference, () => view.go("images", row.image.id)),
      entry("image", `${key} run`, t("palette.image.run", { name: reference }), () => view.show(RunDialog, { reference })),
    ];
  });
}
