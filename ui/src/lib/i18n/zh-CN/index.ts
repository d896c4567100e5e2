// Every text in Simplified Chinese, a file for each part of the page.
import common from "./common.json";
import containers from "./containers.json";
import dashboard from "./dashboard.json";
import details from "./details.json";
import files from "./files.json";
import images from "./images.json";
import lab from "./lab.json";
import networks from "./networks.json";
import run from "./run.json";
import settings from "./settings.json";
import shell from "./shell.json";
import volumes from "./volumes.json";

export default {
  ...common,
  ...containers,
  ...dashboard,
  ...details,
  ...files,
  ...images,
  ...lab,
  ...networks,
  ...run,
  ...settings,
  ...shell,
  ...volumes,
};
