/** A link that a person opened. */
export interface Link {
  /** Where the stream's paths begin: "" on a laptop, "/NAME" on a relay. */
  base: string;
  /** "" where none was given: a relay's public stream needs none. */
  token: string;
}

const TOKEN = "earshot.token";
const PAGE = "earshot.page";

/**
 * Returns the link that this page was opened with, or null if there is none: on a
 * relay's page it may have no token.
 * The token leaves the address bar, so that it does not end up in screenshots and
 * bookmarks of it; it stays with the tab's history entry and the tab, so that reload,
 * back and a restored tab find it.
 */
export function readLink(): Link | null {
  const path = location.pathname.replace(/\/+$/, "");
  const key = `${TOKEN}${path}`;
  const fragment = location.hash.slice(1);
  const state: unknown = history.state;
  const kept = typeof state === "object" && state !== null && "token" in state ? state.token : null;
  const token = fragment || (typeof kept === "string" && kept) || read(key);
  if (!token) return path ? { base: path, token: "" } : null;
  write(key, token);
  history.replaceState({ token }, "", location.pathname + location.search);
  return { base: path, token };
}

/** Whether a text can be a token at all: what fits into a header and a subprotocol. */
export function plausible(token: string): boolean {
  return /^[\w.~-]{0,8000}$/.test(token);
}

/**
 * Returns the page's ID: kept over a reload, but not given to a duplicate of the
 * tab, which the server would otherwise take for this one and disconnect it. So
 * it is stored only while the page goes away.
 */
export function pageID(): string {
  let id = read(PAGE);
  if (id && /^[\w-]{8,64}$/.test(id)) {
    remove(PAGE);
  } else {
    id = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  }
  const kept = id;
  addEventListener("pagehide", () => write(PAGE, kept));
  addEventListener("pageshow", () => remove(PAGE));
  return id;
}

// Storage throws where cookies are blocked; then the history entry has to do.

function read(key: string): string | null {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, value: string): void {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    return;
  }
}

function remove(key: string): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    return;
  }
}
