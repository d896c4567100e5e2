// The shell's commands, typed; a file for each kind of thing.
export { failure, type Stream } from "./core";
export * from "./containers";
export * from "./images";
export * from "./lab";
export * from "./networks";
export * from "./preferences";
export * from "./run";
export * from "./service";
export * from "./settings";
export * from "./system";
export * from "./usage";
export * from "./volumes";
