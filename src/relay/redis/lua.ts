import { readFileSync } from 'node:fs'

/** Reads a file in `lua/`. In a bundle, a module with the texts of those files replaces this one: infra/build/bundle.ts */
export const readLua = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8')
