import { readFileSync } from 'node:fs'

/** The text of a script in `lua/`. A bundle has the texts in this file's place: infra/build/bundle.ts */
export const readLua = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
