import type {
  Image,
  ImageDetails,
  ImageDiffBatch,
  ImageFolder,
  ImageInstruction,
  ImageLayers,
  ImageProgress,
  PrunePreview,
} from "../bindings";
import { invoke, stream, type Stream } from "./core";

export const imagesList = (): Promise<Image[]> => invoke("images_list");
export const imageDetails = (image: string): Promise<ImageDetails> => invoke("image_details", { image });
export const imageHistory = (image: string): Promise<ImageInstruction[]> => invoke("image_history", { image });
export const imageTag = (image: string, reference: string): Promise<void> => invoke("image_tag", { image, reference });
export const imageRemove = (reference: string, force: boolean): Promise<void> =>
  invoke("image_remove", { reference, force });
export const imagesPrunePreview = (named: boolean): Promise<PrunePreview> => invoke("images_prune_preview", { named });
export const imagesPrune = (named: boolean): Promise<number> => invoke("images_prune", { named });

type Receive = (progress: ImageProgress) => void;
export interface PullOptions {
  readonly allTags?: boolean;
  /** Such as `linux/arm64`; this machine's when there is none. */
  readonly platform?: string | undefined;
}
export const imagePull = (reference: string, { allTags = false, platform }: PullOptions, receive: Receive): Stream =>
  stream("image_pull", { reference, allTags, platform: platform ?? null }, receive);
export const imagePush = (reference: string, receive: Receive): Stream => stream("image_push", { reference }, receive);
export const imagesLoad = (path: string, receive: Receive): Stream => stream("images_load", { path }, receive);
export const imagesSave = (references: string[], path: string, receive: Receive): Stream =>
  stream("images_save", { references, path }, receive);

// Paths in an image are percent-encoded bytes; without a layer all of them together are meant.
export const imageFiles = (image: string, path: string, layer?: number, after?: string): Promise<ImageFolder> =>
  invoke("image_files", { image, path, layer: layer ?? null, after: after ?? null });
export const imageFile = (image: string, path: string, limitBytes: number, layer?: number): Promise<ArrayBuffer> =>
  invoke("image_file", { image, path, layer: layer ?? null, limitBytes });
/** Writes a file, or a folder as a tar. */
export const imageFileSave = (image: string, path: string, folder: boolean, to: string, layer?: number): Promise<void> =>
  invoke("image_file_save", { image, path, layer: layer ?? null, folder, to });
export const imageLayers = (image: string): Promise<ImageLayers> => invoke("image_layers", { image });
export const imageDiff = (before: string, after: string, receive: (batch: ImageDiffBatch) => void): Stream =>
  stream("image_diff", { before, after }, receive);
