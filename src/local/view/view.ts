import type { Figures } from '../street/figures.ts'
import type { Part } from '../street/part.ts'

/** What the user sees of the street. */
export type View = {
  /** A part runs. */
  part: (part: Part) => void
  /** A line that stays: a warning, a notification, what a function prints. */
  line: (text: string) => void
  /** A second has gone by. */
  figures: (figures: Figures) => void
  /** Leaves what was shown last, and the terminal as it was. */
  close: () => void
}

/** Where a view writes. */
export type Output = { write: (text: string) => unknown }
