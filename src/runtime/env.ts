/** Environment variables, all faults reported at once, each with the fix. */

export type Env = Readonly<Record<string, string | undefined>>

/** One variable that cannot be used: what is wrong, and what to write instead. Never holds the value of a secret. */
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

/** Collects the faults of several variables. */
export type EnvReader = {
  /** The value, or the default when it is unset or empty; `parse` calls `fault` for a value that cannot be used. */
  read: <T>(
    name: string,
    fallback: string,
    parse: (text: string, fault: (problem: string, fix: string) => never) => T,
  ) => T | undefined
  /** Throws a `ConfigError` when there was any fault. */
  check: () => void
}

/** Ends the parsing of a variable whose fault is noted. */
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
