import { readOwnRoutes } from '../lambda/declarations.ts'
import type { Routes } from '../protocol/index.ts'
import type { RelayConfig } from '../relay/index.ts'

/** The route table that a command works by: that of ENIGMA_ROUTES, else that of this version. @throws FunctionsError */
export const readRoutes = async ({ routes }: RelayConfig): Promise<Routes> => routes ?? (await readOwnRoutes())
