export * from './process.ts'
export * from './sleep.ts'
