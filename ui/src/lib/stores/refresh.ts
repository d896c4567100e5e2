/** Calls `load` soon after being asked, once for many askings, never twice at a time. */
export function coalesced(load: () => Promise<void>, waitMs = 60): () => void {
  let waiting = false;
  let loading = false;
  let again = false;
  async function run(): Promise<void> {
    waiting = false;
    if (loading) {
      again = true;
      return;
    }
    loading = true;
    try {
      await load();
    } finally {
      loading = false;
      if (again) {
        again = false;
        request();
      }
    }
  }
  function request(): void {
    if (waiting) return;
    waiting = true;
    setTimeout(() => void run(), waitMs);
  }
  return request;
}
