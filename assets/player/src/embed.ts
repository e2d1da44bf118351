// What another site's page loads to show a relay's player:
//
//   <script src="https://radio.example.org/embed.js" data-stream="mystream"></script>
//
// puts an element <earshot-player> in the script's place: a frame with the
// relay's own page in it. data-token is a link's token, for a stream that isn't
// public; data-width and data-height are lengths in CSS, of a frame that is as
// wide as its place and 420 px high otherwise. The element may also be written
// into the page by hand, with the attributes stream, token, width and height, and
// relay, the address of another relay than the one that the script came from.

const script = document.currentScript;
const home = script instanceof HTMLScriptElement ? new URL(script.src).origin : "";

/** Returns the origin of a site's address; "" for anything else, a script say. */
function siteOf(address: string): string {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.origin : "";
  } catch {
    return "";
  }
}

class EarshotPlayer extends HTMLElement {
  connectedCallback(): void {
    if (this.firstChild) return;
    const name = this.getAttribute("stream") ?? "";
    if (!/^[a-z0-9-]{1,63}$/.test(name)) {
      this.textContent = `Earshot: "${name}" is no stream's name: say it as data-stream="…"`;
      return;
    }
    const asked = this.getAttribute("relay") ?? home;
    const relay = siteOf(asked);
    if (!relay) {
      this.textContent = `Earshot: "${asked}" is no relay's address: use https://HOST`;
      return;
    }
    const token = this.getAttribute("token");
    const frame = document.createElement("iframe");
    frame.src = `${relay}/${name}${token ? `#${token}` : ""}`;
    frame.title = "Earshot";
    frame.allow = "autoplay; screen-wake-lock";
    frame.referrerPolicy = "no-referrer";
    frame.style.cssText = "display: block; border: 0; width: 100%; height: 100%";
    this.style.display = "block";
    this.style.width = this.getAttribute("width") ?? "100%";
    this.style.height = this.getAttribute("height") ?? "420px";
    this.append(frame);
  }
}

if (!customElements.get("earshot-player")) customElements.define("earshot-player", EarshotPlayer);

if (script instanceof HTMLScriptElement && script.dataset["stream"] !== undefined) {
  const player = document.createElement("earshot-player");
  player.setAttribute("relay", home);
  for (const [name, value] of Object.entries(script.dataset)) player.setAttribute(name, value ?? "");
  script.after(player);
}
