import { CHOICES, type Choice } from "./profile";

const KEY = "earshot.profile";

/** Returns the profile that was last chosen here. */
export function loadChoice(): Choice {
  try {
    const kept = localStorage.getItem(KEY);
    return CHOICES.find((choice) => choice === kept) ?? "auto";
  } catch {
    return "auto"; // Storage is blocked.
  }
}

/** Keeps the choice, where the browser lets us. */
export function saveChoice(choice: Choice): void {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    return;
  }
}
