/** What the launcher cannot do: one sentence for the user, with what to do about it. */
export class LaunchProblem extends Error {
  constructor(message, exitCode = 1) {
    super(message)
    this.name = 'LaunchProblem'
    this.exitCode = exitCode
  }
}

/** To standard error: standard output belongs to the command. */
export function say(text) {
  process.stderr.write(`enigma-relay: ${text}\n`)
}
