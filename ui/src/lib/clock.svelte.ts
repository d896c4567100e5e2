// The present moment, for ages that grow on the page. It asks nobody.
class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => (this.now = Date.now()), 5_000);
  }
}
export const clock = new Clock();
