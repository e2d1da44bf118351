const KEY = "earshot.volume";

/** Returns the volume that was last set here, 0 to 100. */
export function loadVolume(): number {
  try {
    const kept = Number.parseInt(localStorage.getItem(KEY) ?? "", 10);
    return kept >= 0 && kept <= 100 ? kept : 100;
  } catch {
    return 100; // Storage is blocked.
  }
}

/** Keeps the volume, 0 to 100, where the browser lets us. */
export function saveVolume(volume: number): void {
  try {
    localStorage.setItem(KEY, String(volume));
  } catch {
    return;
  }
}
