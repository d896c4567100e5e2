import "./lib/locale";
import "./lib/nonce";
import { mount } from "svelte";
import App from "./App.svelte";
import { session } from "./lib/stores/session.svelte";
import { preferences } from "./lib/stores/preferences.svelte";
import "./styles/tokens.css";
import "./styles/base.css";

preferences.restore();
mount(App, { target: document.body });
session.open();
