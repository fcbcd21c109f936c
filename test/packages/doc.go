// Package packages tests what make package makes: each package is installed in a place of its own,
// as its own tools do it, and used.
package packages
