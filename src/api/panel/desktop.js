// desktop
