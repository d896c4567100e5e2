// Taking images away, with Docker's rules told before and its refusals after.
import { removal } from "../../lib/format/images";
import { bytes } from "../../lib/format/text";
import { language, t, tn } from "../../lib/i18n/index.svelte";
import { images, type ImageRow } from "../../lib/stores/images.svelte";
import { view } from "../../lib/stores/view.svelte";
import NoticeDialog from "./NoticeDialog.svelte";

const list = (names: string[]): string => new Intl.ListFormat(language(), { type: "conjunction" }).format(names);

export function askRemove(row: ImageRow, gone?: () => void): void {
  const label = row.name ? row.reference : row.tag;
  const title = t("images.remove.title", { name: label });
  const found = removal(row);
  const ask = (body: string, action: string, force: boolean): void =>
    view.ask(title, body, action, () => void remove(row, force, title, gone));
  switch (found.kind) {
    case "untag":
      return ask(tn("images.remove.untag", found.others), t("images.remove.untag.action"), false);
    case "force":
      return ask(t("images.remove.used", { names: list(found.users) }), t("images.remove.force"), true);
    case "never":
      return view.show(NoticeDialog, { title, body: t("images.remove.running", { names: list(found.users) }) });
    case "delete": {
      const body =
        found.freedBytes === undefined
          ? t("images.remove.body")
          : t("images.remove.frees", { size: bytes(found.freedBytes, language()) });
      return ask(body, t("action.remove"), false);
    }
  }
}

async function remove(row: ImageRow, force: boolean, title: string, gone?: () => void): Promise<void> {
  const refusal = await images.remove(row, force);
  // Something changed in between: Docker says what, and whether force would help.
  if (refusal !== undefined) {
    view.ask(title, refusal, t("images.remove.force"), () => void remove(row, true, title, gone));
    return;
  }
  if (images.of(row.image.id).length === 0) gone?.();
}
