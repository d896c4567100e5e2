// How logs are looked at, of whichever container.
class LogView {
  wrap = $state(true);
  stamps = $state(false);
}
export const logView = new LogView();
