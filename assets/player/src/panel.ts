import { details, meter, type Facts } from "./details";
import { CHOICES, type Choice } from "./profile";

/** How often the figures change while they are shown: readable. */
const CALM = 500; // ms

/** The details view: a disclosure with the profiles, the level and the figures. */
export class Panel {
  private readonly root = document.getElementById("details") as HTMLDetailsElement;
  private readonly level = document.getElementById("level") as HTMLElement;
  private readonly cells = new Map(
    Array.from(this.root.querySelectorAll<HTMLElement>("[data-figure]"), (cell) => [cell.dataset["figure"], cell]),
  );
  private readonly still = matchMedia("(prefers-reduced-motion: reduce)");
  private shown = -Infinity;
  private peak = 0;
  private facts: Facts;

  /** chosen: is told what the listener chooses. */
  constructor(facts: Facts, chosen: (choice: Choice) => void) {
    this.facts = facts;
    for (const radio of this.root.querySelectorAll<HTMLInputElement>("input[name=profile]")) {
      const choice = CHOICES.find((it) => it === radio.value)!;
      radio.checked = choice === facts.choice;
      radio.addEventListener("change", () => {
        if (radio.checked) chosen(choice);
      });
    }
    this.root.addEventListener("toggle", () => {
      this.show();
      if (this.root.open) this.root.scrollIntoView({ block: "nearest", behavior: this.still.matches ? "auto" : "smooth" });
    });
    this.show();
  }

  /** Takes what is new, and shows it when it is time; now: at once. */
  update(facts: Facts, now = false): void {
    this.facts = facts;
    if (!this.root.open) return;
    const peak = facts.report?.peak ?? 0;
    this.peak = Math.max(this.peak, peak);
    if (!this.still.matches) this.setLevel(peak);
    if (now || performance.now() - this.shown >= CALM) this.show();
  }

  private show(): void {
    this.shown = performance.now();
    for (const [name, text] of Object.entries(details(this.facts))) {
      const cell = this.cells.get(name);
      if (cell && cell.textContent !== text) cell.textContent = text;
    }
    if (this.still.matches || !this.facts.report) this.setLevel(this.peak);
    const full = Math.round(100 * meter(this.peak));
    this.level.setAttribute("aria-valuenow", String(full));
    this.level.setAttribute("aria-valuetext", full > 0 ? "Sound arrives" : "Silence");
    this.peak = 0;
  }

  private setLevel(peak: number): void {
    this.level.style.setProperty("--full", String(Math.round(100 * meter(peak)) / 100));
  }
}
