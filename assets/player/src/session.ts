import { linkRefusal, parseJSON, parseStream, type Refusal, type Stream } from "./protocol";

/** What the server says to a token. */
export type Answer =
  | { kind: "welcome"; stream: Stream }
  | { kind: "refused"; refusal: Refusal }
  /** No answer, or none that says yes or no: try again later; why: what the server said, if it did. */
  | { kind: "unreachable"; why?: Refusal };

const TIMEOUT = 8000; // ms

/** Asks the server whether a token may listen in a page, and to what. Never throws. */
export async function askSession(base: string, token: string, page: string): Promise<Answer> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT);
  try {
    const response = await fetch(`${base}/api/session?page=${page}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      cache: "no-store",
      credentials: "omit",
      signal: abort.signal,
    });
    return readAnswer(response.status, await response.text());
  } catch {
    return { kind: "unreachable" };
  } finally {
    clearTimeout(timer);
  }
}

/** Reads an answer of /api/session. */
export function readAnswer(status: number, body: string): Answer {
  const raw = parseJSON(body);
  if (status === 200) {
    const stream = raw && parseStream(raw);
    return stream ? { kind: "welcome", stream } : { kind: "unreachable" };
  }
  const error = raw?.["error"];
  const message = raw?.["message"];
  // Without these it is no word of ours but of something in between.
  if (status < 400 || typeof error !== "string" || typeof message !== "string") return { kind: "unreachable" };
  if (status >= 500 || status === 408 || status === 429) return { kind: "unreachable", why: { error, title: "Not just now", say: message } };
  return { kind: "refused", refusal: linkRefusal(error, message) };
}
