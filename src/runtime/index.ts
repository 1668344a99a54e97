export * from './env.ts'
export * from './logger.ts'
export * from './shutdown.ts'
export * from './sleep.ts'
