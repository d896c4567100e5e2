// The present moment, for ages that grow on the page. It asks nobody.
class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => this.tick(), 5_000);
  }

  /** Also called when something new is shown, so that nothing is younger than now. */
  tick(): number {
    this.now = Date.now();
    return this.now;
  }
}
export const clock = new Clock();
