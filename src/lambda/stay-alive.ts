import { describeError, describeStack, logToConsole } from '../adapter/index.ts'

/**
 * Logs a promise that nobody awaits and that rejects, instead of ending the process: the batch it belongs to would come again only
 * after the queue's visibility timeout, and all of its lane would wait. Anything thrown outside a promise still ends the process.
 *
 * Lambda's runtime client up to version 3 installs a listener that exits (src/index.mjs of aws/aws-lambda-nodejs-runtime-interface-client);
 * version 4 installs none, and Node exits by itself. The runtime client loads the function after it has installed its own listeners, so
 * these are removed here. A listener of your own (an error tracker's) goes after the import of wiring.ts.
 *
 * @param name the Lambda function; undefined in a process that is not Lambda's, whose listeners stay
 */
export function stayAlive(name: string | undefined): void {
  if (name !== undefined) process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (reason) => {
    const stack = describeStack(reason)
    // A failure of the runtime client itself: without its loop, the process would stay and do nothing. Thrown from here, it is fatal.
    if (reason instanceof Error && (reason.name.startsWith('Runtime.') || stack[0]?.includes('/var/runtime/') === true))
      throw reason
    logToConsole({
      level: 'error',
      code: 'functions.process.unhandled_rejection',
      message:
        'a promise that the handler does not await was rejected; await it, so that the outcome of the notification includes it',
      function: name,
      error: describeError(reason),
      stack,
    })
  })
}
