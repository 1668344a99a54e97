/* Environment variables: all faults are reported at once, each with its fix. */

export type Env = Readonly<Record<string, string | undefined>>

/** A variable that cannot be used, with its problem and its fix. Never contains the value of a secret. */
export type EnvFault = { readonly name: string; readonly problem: string; readonly fix: string }

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'config.variables.invalid'
  readonly faults: readonly EnvFault[]

  constructor(faults: readonly EnvFault[]) {
    const lines = faults.map((fault) => `  ${fault.name}: ${fault.problem}\n    ${fault.fix}`)
    super(
      `${faults.length === 1 ? 'one environment variable is' : `${faults.length} environment variables are`} not valid:\n${lines.join('\n')}`,
    )
    this.faults = faults
  }
}

/** Reads variables and collects their faults. */
export type EnvReader = {
  /**
   * Returns the value, or the default when the variable is unset or empty. `parse` calls `fault` for a value that cannot be used; the result is then
   * undefined.
   */
  read: <T>(
    name: string,
    fallback: string,
    parse: (text: string, fault: (problem: string, fix: string) => never) => T,
  ) => T | undefined
  /** Throws a `ConfigError` when there was any fault. */
  check: () => void
}

/** Ends the parsing of a variable whose fault is recorded. */
class Fault extends Error {
  override readonly name = 'Fault'
}

export function createEnvReader(env: Env): EnvReader {
  const faults: EnvFault[] = []
  return {
    read: (name, fallback, parse) => {
      try {
        return parse(env[name]?.trim() || fallback, (problem, fix) => {
          faults.push({ name, problem, fix })
          throw new Fault(problem)
        })
      } catch (error) {
        if (!(error instanceof Fault)) throw error
        return undefined
      }
    },
    check: () => {
      if (faults.length > 0) throw new ConfigError(faults)
    },
  }
}
