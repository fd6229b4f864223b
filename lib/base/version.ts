/** Of this JavaScript, as package.json has it: a bundler leaves that behind. */
export const VERSION = '0.1.0'
