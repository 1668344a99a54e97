import { Hono, type ErrorHandler } from 'hono'
import { type App, deliveryOf } from './delivery.ts'
import { describeError, describeStack } from './errors.ts'
import { logToConsole } from './log.ts'

// One function for all apps: an app that has it was given no `onError`.
const defaultHandler: unknown = Reflect.get(new Hono(), 'errorHandler')

/**
 * Hono's default error handler prints the whole error, with whatever a library wrote into its text (the failed command, the
 * number). An app that still has it gets one that answers the same and hands the error to the adapter, which logs it masked. An
 * app with an `onError` of its own keeps it, also when it is set later.
 */
export function keepErrorsQuiet(app: App): void {
  if (
    app instanceof Object &&
    Reflect.get(app, 'errorHandler') === defaultHandler &&
    'onError' in app &&
    typeof app.onError === 'function'
  ) {
    app.onError(answerQuietly)
  }
}

const answerQuietly: ErrorHandler = (error, c) => {
  if ('getResponse' in error) {
    const response = error.getResponse()
    return c.newResponse(response.body, response)
  }
  const delivery = deliveryOf(c)
  if (delivery !== undefined) delivery.fail(error)
  else
    logToConsole({
      level: 'error',
      code: 'adapter.handler.failed',
      message: 'the handler failed',
      error: describeError(error),
      stack: describeStack(error),
    })
  return c.text('Internal Server Error', 500)
}
