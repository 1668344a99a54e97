import { readConfig } from '../../src/relay/index.ts'
import { createSendAgain, type SendAgain } from '../../src/relay/replays/send-round.ts'
import { createTargetClient } from '../../src/relay/targets/target.ts'
import { ROUTES } from './routes.ts'

/** Creates the function with which a relay sends messages of replays to functions behind HTTP, authenticated with a token. */
export function createSend(url: string, token: string): SendAgain {
  const config = readConfig({ ENIGMA_TARGET: url, ENIGMA_TARGET_TOKEN: token }, ROUTES)
  return createSendAgain({ config, routes: ROUTES, http: createTargetClient(config, { requestTimeoutMs: 10_000 }) })
}
