/** Says what the launcher cannot do: one sentence for the user, with what to do about it, and a code of docs/logs.md. */
export class LaunchProblem extends Error {
  constructor(code, message, exitCode = 1) {
    super(message)
    this.name = 'LaunchProblem'
    this.code = code
    this.exitCode = exitCode
  }
}

/** To standard error: standard output belongs to the command. */
export function say(text) {
  process.stderr.write(`enigma-relay: ${text}\n`)
}
