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
  /** The value, or the default when it is unset or empty; `parse` throws an `EnvFault`'s words by `fault`. */
  read: <T>(
    name: string,
    fallback: string,
    parse: (text: string, fault: (problem: string, fix: string) => never) => T,
  ) => T | undefined
  /** Throws a `ConfigError` when there was any fault. */
  check: () => void
}

class Fault extends Error {
  override readonly name = 'Fault'
  readonly problem: string
  readonly fix: string
  constructor(problem: string, fix: string) {
    super(problem)
    this.problem = problem
    this.fix = fix
  }
}

export function createEnvReader(env: Env): EnvReader {
  const faults: EnvFault[] = []
  return {
    read: (name, fallback, parse) => {
      const text = env[name]?.trim() || fallback
      try {
        return parse(text, (problem, fix) => {
          throw new Fault(problem, fix)
        })
      } catch (error) {
        if (!(error instanceof Fault)) throw error
        faults.push({ name, problem: error.problem, fix: error.fix })
        return undefined
      }
    },
    check: () => {
      if (faults.length > 0) throw new ConfigError(faults)
    },
  }
}
