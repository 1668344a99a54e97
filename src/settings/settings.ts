/** Variables by name: the environment of a process, or what a platform at the edge passes with each request. */
export type Env = Readonly<Record<string, string | undefined>>

/** Reads a setting, at most so old (ms): '' when there is none. */
export type ReadSetting = (name: string, maxAgeMs?: number) => Promise<string>

/** Where the platform has set nothing: the environment of the process, if there is one. */
const ofProcess: ReadSetting = (name) => Promise.resolve(globalThis.process?.env[name]?.trim() ?? '')

let read = ofProcess

/** Says how `setting` reads. The platform does so once, before a handler runs: the wiring of Lambda, or `createEdge`. */
export function provideSettings(own: ReadSetting): void {
  read = own
}

/**
 * The value of a setting, at most so old (ms); '' when there is none. On Lambda it may be in Parameter Store: `variables` and `secrets` of a
 * declaration. Elsewhere it is a variable.
 *
 * @example
 * const token = await setting('CRM_TOKEN')
 */
export const setting: ReadSetting = (name, maxAgeMs) => read(name, maxAgeMs)
