from swath.cli import main

main()
